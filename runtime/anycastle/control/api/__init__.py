"""The HTTP API.

route       what a route is; a handler gets a Call and returns a struct
table       all routes: the one place to add one
dispatch    aiohttp on one side, handlers on the other: proof, body, errors, metrics
openapi     the OpenAPI document, made from the table
clients, nodes, tokens, events, status, agent, agent_feed    handlers, one module per noun
"""
