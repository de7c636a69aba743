"""What becomes of a packet, stage by stage and host by host, without sending one: `weft trace`."""
