-- Sample data: outputs of a node of a draft, for test runs.
CREATE TABLE pinned_output (
  tenant_id uuid NOT NULL,
  workflow_id uuid NOT NULL,
  node_id text NOT NULL,
  outputs jsonb NOT NULL,
  pinned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT pinned_output_pkey PRIMARY KEY (tenant_id, workflow_id, node_id)
);
