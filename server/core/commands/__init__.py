"""Commands: from a request of a face to a contactor that was seen to move.

The stops of a command, in order:

    server.opcua.services.method_services  a face turns its own form into a request
    server.runtime.link             carries the request to the core, and holds the answer until the log is on disk
    core.process.handle             the cycle's own thread takes it between two cycles
    commands.requests.Desk          records it and its outcome, numbers it, does at once what needs no time
    commands.arbiter.Arbiter        judges: role, arguments, authority, what is under way, permissives
    commands.running.Runner         carries out what takes time, cycle by cycle, until the feedback confirms it
    core.control.racks.Racks        the machines of the racks turn what is wanted into what is commanded
    core.blocks.OutputBlocks        the desired state goes out with a lease
    server.field.requests           judges the lease and asks the adapter
    adapters.can.command.CommandSender    sends it again and again, with alive counter and check sum

`control` moves racks and knows nothing of this package; whoever asks stands here.
"""
