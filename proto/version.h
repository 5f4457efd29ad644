/* proto/version.h - of the agent and of the protocol */
#ifndef PROTO_VERSION_H
#define PROTO_VERSION_H

#define GUESTD_VERSION   "0.1.0"
#define PROTOCOL_VERSION 1

#endif
