"""What people and other tools read, made of timelines and ledger: tables, workbook, pages, pictures and labels."""
