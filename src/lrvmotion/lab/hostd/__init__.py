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
| vmotion_vmknics | devices: the vmknics that carry vMotion: TCP 8000 is listened on exactly these addresses | {} |
| ping | host, interface (null or device), netstack, count, size, df, interval (s), ttl, wait (s) | transmitted, received, duplicated, rtt_min_us, rtt_avg_us, rtt_max_us, trace [{seq, rtt_us, ttl, bytes, host}]; `failed` with "sendto() failed (Message too long)" for df and too large; `unsupported` without a network |
| expect | id, receive_buffer_bytes, idle_timeout_s: streams of migration *id* are accepted from now on, others are reset; receive_buffer_bytes is NetExpectedLineRateMBps as bytes/s, the listener multiplies it by the RTT that the connection shows (TCP_INFO) | {} |
| migrate | id, sources [vmknic devices], targets [addresses], port, streams, bind (bool: sockets are bound to their vmknic), congestion_control, line_rate_bytes (bytes/s), memory_bytes, disk_bytes, dirty_bps, switchover_s, timeout_s (NetTimeout) | {} at once; the move runs on |
| progress | id | phase ("connect", "precopy", "switchover", "done", "failed", "cancelled"), round, bytes_total (grows with pre-copy), bytes_sent, bytes_arrived (acknowledged by the target's process over the stream itself), streams_open, streams_peak, remaining_bytes, pairs [[source address, target address, streams]], started_s, ended_s (monotonic seconds of this process), stun_s, error |
| cancel | id: not in switchover or after (`invalid`) | {} |
| forget | id: drop a finished move's or expectation's record | {} |
| received | id: at the target: bytes, streams_peak, eof (streams that ended whole), resets | ... |
| state | - | vmknics, routes, defaults, rules as the kernel shows them, sorted (for the witness) |
| reset | - remove every vmknic and route: the host was rebooted | {} |
"""
