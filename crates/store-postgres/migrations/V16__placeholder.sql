-- Placeholder for the sessions, which another branch adds as V16.
INSERT INTO schema_versions (version, compatible_from) VALUES (16, 8);
