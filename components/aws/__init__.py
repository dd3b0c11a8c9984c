"""A deployment's part in AWS.

plan           addresses, names and ARNs, from settings alone (pure)
documents      IAM, KMS and bucket policies as typed structs (pure)
texts          cloud-init and environment of hosts (pure)
regional       provider and tags that every resource of a region has
network        VPC, subnets, route tables, endpoints, flow logs
security       security groups, from named sources only
nodes          instances, roles, secrets of nodes
entry_nlb      the NLB in front of nodes
entry_accelerator  Global Accelerator and a region's endpoint group
route_server   VPC Route Server and its peers
interconnect   VPC peering between regions
keys, audit, database, control   what the datacentres share
foundation     all of that as one component
region         one datacentre: the Place of `components.worlds`

Only `components.worlds` and `components.foundations` import what needs pulumi_aws, and
only for a stack that has something in AWS: the lab's program stays as quick as it is.
"""
