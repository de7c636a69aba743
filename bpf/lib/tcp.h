/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Of a TCP header. */
#ifndef WEFT_TCP_H
#define WEFT_TCP_H

#define TCP_FLAGS_AT 13
#define TCP_FIN	     0x01
#define TCP_SYN	     0x02
#define TCP_RST	     0x04
#define TCP_ACK	     0x10

#endif
