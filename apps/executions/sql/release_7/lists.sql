-- Lists of runs that failed or whose time was over: those have an error, which few runs do. The state
-- itself is in no index: each move of it would have to be written to all of them.
CREATE INDEX run_failed ON run (tenant_id, id)
  WHERE error IS NOT NULL AND (parent_kind IS NULL OR parent_kind <> 'ITEM');
