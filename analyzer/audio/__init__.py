"""From a file, local or in object storage, to blocks of samples."""
