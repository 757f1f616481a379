-- What whoever asked was allowed, as a JSON array; NULL for nothing.
ALTER TABLE payload ADD COLUMN permissions TEXT;
