"""Operations compiled into columns: the fast way to the data that graphql-core would give.

``execution.CompiledExecution`` is the door, for ``strawberry.Schema(execution_context_class=...)``; ``plan`` turns an
operation into columns, ``leaves`` writes a column of scalars.
"""
