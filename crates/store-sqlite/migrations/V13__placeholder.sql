-- Placeholder for the sessions, which another branch adds as V13.
INSERT INTO schema_versions (version, compatible_from) VALUES (13, 7);
