-- How many connections this database has, whoever holds them. Called for the figures.
SELECT count(*)
FROM pg_stat_activity
WHERE datname = current_database()
