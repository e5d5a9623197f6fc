"""Reports made from timelines and the ledger: tables, workbooks, pages, pictures and label files."""
