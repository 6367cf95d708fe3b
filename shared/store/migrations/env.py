"""What Alembic runs: migrations on the connection it was handed, in that connection's transaction."""

from alembic import context

given = context.config.attributes
context.configure(connection=given["connection"], part=given["part"], render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
