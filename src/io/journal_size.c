/* SPDX-License-Identifier: MPL-2.0 */
/* How large a file of the journal is. In a file of its own, so that a test can be linked with another size. */
#include "io/journal.h"

const size_t journal_file_bytes = (size_t) 4 << 20;
