-- Tasks: one attempt of a dispatched step, leased by itself, in the pool that the step needs.
ALTER TABLE work_item
  ADD COLUMN attempt int NOT NULL DEFAULT 0,
  -- Set before an UNSAFE or RECONCILABLE attempt touches the world.
  ADD COLUMN has_begun boolean NOT NULL DEFAULT false;

-- A tenant's ceiling counts slots in all pools.
CREATE INDEX work_item_leased_of ON work_item (tenant_id) WHERE worker_id IS NOT NULL;
DROP INDEX work_item_in_use;
