-- Records by time, for exports. Texts of one length in UTC are in order as texts; records arrive nearly in order, so
-- a block range index is enough and costs next to nothing when a record is written.
-- The time stands before the version, at the end of the canonical text.
CREATE INDEX record_time ON audit.record USING brin ((substring(record FROM '"ts":"([^"]*)","version":[0-9]+}$')))
    WITH (pages_per_range = 32, autosummarize);
