"""The `anycastle` command: operators' way to the API, and a lab's hosts.

main        the command's root; loads a noun's file only when it is asked for
status node client token events lab
            one file per noun: arguments in, one call, a table or JSON out
api         the calls over HTTPS, and what their failures mean to a person
errors      exit codes
options     options that nouns share, and how they become an `Api`
edges       what the command touches beside the API; tests put their own there
output      tables, JSON, text that is safe on a terminal
keys private_file
            what `client add` needs: keys made here, a file of mode 0600
inventory   the hosts of a lab, as its Pulumi program wrote them
"""
