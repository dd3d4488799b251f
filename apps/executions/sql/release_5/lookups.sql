-- A run is found by its key. Without statistics the planner took the index by workflow for that as
-- well, and skipped through all workflows of the tenant at each append: now it serves those alone who
-- name a workflow.
DROP INDEX run_by_workflow;
CREATE INDEX run_by_workflow ON run (tenant_id, workflow_id, id) WHERE workflow_id IS NOT NULL;
