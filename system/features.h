/* system/features.h - what a client may count on, beyond what every agent of this protocol has */
#ifndef SYSTEM_FEATURES_H
#define SYSTEM_FEATURES_H

#include "proto/enc.h"

/* The pair `features`: an array of names.  After method_init. */
void features_encode(struct enc *e);

#endif
