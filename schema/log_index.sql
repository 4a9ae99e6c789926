-- Made when all log entries are there.
CREATE INDEX IF NOT EXISTS log_entry_ts_listed ON log_entry(ts_listed);
