/** The versions by which clients choose what they may use: etcd's, of which the front end speaks the protocol. */

/** The version of etcd whose protocol is spoken. Digits and dots alone: Patroni and Kubernetes compare it. */
export const ETCD_VERSION = "3.7.0";
