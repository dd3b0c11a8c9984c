-- What `anycastle-control export-events` has put into the archive.
CREATE TABLE export (
    id boolean PRIMARY KEY DEFAULT true CONSTRAINT export_one_row CHECK (id),
    last_event bigint NOT NULL DEFAULT 0
);
