-- Lists show no items of maps, of which there may be very many between two runs: who says of a run that
-- it is whole (RunQuerySet.whole) passes them over.
CREATE INDEX run_whole ON run (tenant_id, id) WHERE parent_kind IS NULL OR parent_kind <> 'ITEM';
DROP INDEX run_by_workflow;
CREATE INDEX run_by_workflow ON run (tenant_id, workflow_id, id)
  WHERE workflow_id IS NOT NULL AND (parent_kind IS NULL OR parent_kind <> 'ITEM');
