-- Reserved for the migration of the feed.

INSERT INTO schema_versions (version, compatible_from) VALUES (13, 8);
