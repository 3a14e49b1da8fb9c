"""What Alembic runs: the revisions, over the connection that `Schema` hands in."""

from alembic import context

from horae.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
