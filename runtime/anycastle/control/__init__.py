"""The control plane: Postgres is the truth, an HTTP API on top, a feed to the agents.

main        command line of the control host
server      puts the parts together and runs them until it is told to stop
api         HTTP: one module per noun, a route table, the OpenAPI document made from it
auth        who is calling: operators' tokens, nodes' certificates
pki         the deployment's certificate authority
feed        the change feed: wakes on NOTIFY, fans out to the agents' streams
compile     rows to model structs (pure)
allocate    which addresses a client may have (pure)
store       SQL and nothing else; schema.sql is the truth
database    the connection pool and what to do when Postgres is away
migrate     applies migrations/ in order
"""
