"""The simulated ESXi host's data plane: one process per host, in the host's network namespace.

The vCenter process owns a host's configuration (options, port groups, vmknics, routes) and calls this process to make
it real; this process knows only devices, routes, pings and vMotion bytes. It is reached over the Unix socket
`<lab dir>/<site>/<host>.sock`, one JSON object a line each way: `{"op": NAME, ...arguments}` is answered by
`{"ok": RESULT}` or `{"error": MESSAGE, "kind": KIND}`, KIND one of `invalid`, `exists`, `missing`, `unsupported`,
`failed`. Requests of one connection are answered in order; any number of connections may be open.

| op | arguments | result |
| --- | --- | --- |
| vmknic_add | device, mac, address, prefix_length, mtu, netstack, gateway (null or address) | {} |
| vmknic_update | the same; the device exists; everything is replaced | {} |
| vmknic_remove | device | {} |
| route_add, route_remove | netstack, prefix ("10.99.0.9/32"), gateway | {} |
| default_gateway | netstack, gateway (null: none) | {} |
| services | vmotion, nfc: the vmknics that carry them: TCP 8000 and 902 are listened on exactly these addresses | {} |
| ping | host, interface (null or device), netstack, count, size, df, interval (s), ttl, wait (s) | transmitted, received, duplicated, rtt_min_us, rtt_avg_us, rtt_max_us, trace [{seq, rtt_us, ttl, bytes, host}]; `failed` with "sendto() failed (Message too long)" for df and too large; `unsupported` without a network |
| expect | id, receive_buffer_bytes, idle_timeout_s: streams of migration *id* are accepted from now on, others are reset; receive_buffer_bytes is NetExpectedLineRateMBps as bytes/s, the listener multiplies it by the RTT that the connection shows (TCP_INFO) | {} |
| migrate | id, sources [vmknic devices], targets [addresses], port, streams, bind (bool: sockets are bound to their vmknic), congestion_control, line_rate_bytes (bytes/s), memory_bytes, disk_bytes, dirty_bps, switchover_s, timeout_s (NetTimeout) | {} at once; the move runs on |
| progress | id | phase ("connect", "precopy", "switchover", "done", "failed", "cancelled"), round, bytes_total (grows with pre-copy), bytes_sent, bytes_arrived (acknowledged by the target's process over the stream itself), streams_open, streams_peak, remaining_bytes, pairs [[source address, target address, streams]], started_s, ended_s (monotonic seconds of this process), stun_s (null before), error (null or a sentence), reason (null, or "connect", "timeout", "reset", "short", "congestion-control") |
| cancel | id: not in switchover or after (`invalid`) | {} |
| forget | id: drop a finished move's or expectation's record | {} |
| received | id | at the target: bytes, streams_open, streams_peak, eof (streams that ended whole), resets |
| state | - | vmknics, routes, defaults, rules as the kernel shows them, sorted (for the witness) |
| reset | - | {}: every vmknic, route and listener is gone: the host was rebooted |

Without a network (LabSpec.net False) the arguments are the same: vmknics exist in `state` only, the listener of a vmknic
address is a loopback port that its process publishes beside its socket, and senders look it up there by the address.

A mac is written in lower case with colons, a device is vmk0-vmk999. TCP 8000 is bound to the device of its vmknic: answers
leave by that one. A route or default gateway that no vmknic of the netstack reaches is `invalid`; when its vmknic goes later
it stays in the configuration and is in force again once a vmknic reaches it. `python -m lrvmotion.lab.hostd --lab DIR --site
source|target --host NAME` runs one host; `lrvmotion.lab.rpc.Client` talks to it.
"""  # noqa: E501 - a table
