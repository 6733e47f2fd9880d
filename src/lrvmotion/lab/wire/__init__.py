"""The WAN: two TAP devices and a process between them that delays, queues, limits and loses.

`python -m lrvmotion.lab.wire --lab DIR` makes `wan0` in both router namespaces of the lab and answers on
`DIR/wire.sock` (JSON lines, `lrvmotion.lab.rpc`):

| op | arguments | result |
| --- | --- | --- |
| report | - | see `Pump.report`: profile, per direction counters and lateness, vmotion witness, CPU |
| reset | - | {}: every counter starts again from zero; connections open now stay counted as open |
| set | rate_bps, delay_ms, syn_delay_ms, buffer_bytes, profile, loss, burst, seed | {}: in force for the next frame |

The mechanics, per direction: a virtual clock says when the last accepted byte leaves the bottleneck; a segment that
would wait for more than the buffer holds is dropped from the tail; an accepted one takes (frame + 24) bytes of time
on the wire (preamble, FCS, gap); then it may be lost; what is left arrives after the delay, in order. No reordering,
duplication, jitter. A GSO super-packet counts as the segments that it stands for; the survivors of one travel on as
shorter super-packets.
"""
