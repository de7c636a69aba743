/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a CPU keeps of macs_v1; see near.h. */
#ifndef WEFT_NEAR_MAC_H
#define WEFT_NEAR_MAC_H

#include "../abi.h"

#define NEAR_MACS 1024 /* and one more, of made packets */

struct near_mac {
	struct mac_key key;
	__u32 edition; /* of macs_v1, in which it was so */
	struct endpoint endpoint;
	__u8 spare[16];
};

#endif
