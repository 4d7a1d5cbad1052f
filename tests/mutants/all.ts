/** Every mutant, by number. */
import { AUTH_MUTANTS } from "./security/auth.ts";
import { BACKUP_MUTANTS } from "./operation/backups.ts";
import { CLIENT_MUTANTS } from "./client.ts";
import { COMMAND_LINE_MUTANTS } from "./command_line.ts";
import { CONSENSUS_MUTANTS } from "./consensus.ts";
import { DENOKV_COMMAND_MUTANTS } from "./denokv/command_line.ts";
import { DIAGNOSIS_MUTANTS } from "./operation/diagnosis.ts";
import { ETCD_AUTH_MUTANTS } from "./etcd/auth.ts";
import { ETCD_FRONT_END_MUTANTS } from "./etcd/front_end.ts";
import { ETCD_GATEWAY_MUTANTS } from "./etcd/gateway.ts";
import { ETCD_KV_MUTANTS } from "./etcd/kv.ts";
import { ETCD_HOSTILE_MUTANTS } from "./etcd/hostile.ts";
import { HOSTILE_MUTANTS } from "./hostile.ts";
import { INPUT_MUTANTS } from "./input.ts";
import { LEADERSHIP_MUTANTS, LEASE_MUTANTS } from "./leadership.ts";
import { LIMIT_MUTANTS } from "./security/limits.ts";
import { USER_MUTANTS } from "./security/users.ts";
import { PEER_SECRET_MUTANTS } from "./security/peer_secret.ts";
import { MEMBERSHIP_MUTANTS } from "./membership.ts";
import { MIRROR_MUTANTS } from "./operation/mirror.ts";
import type { Mutant } from "./mutant.ts";
import { NETWORK_MUTANTS } from "./network.ts";
import { OVERLOAD_MUTANTS } from "./overload.ts";
import { SERVICE_MUTANTS } from "./service.ts";
import { SIGN_IN_MUTANTS } from "./security/sign_in.ts";
import { HISTORY_MUTANTS, PAST_MUTANTS, SNAPSHOT_MUTANTS } from "./snapshots.ts";
import { SIMULATED_USER_MUTANTS } from "./security/simulated_users.ts";
import { SIMULATED_MUTANTS } from "./coordination/simulated.ts";
import { TLS_MUTANTS } from "./security/tls.ts";
import { SLOW_REQUEST_MUTANTS } from "./operation/slow_requests.ts";
import { STORAGE_MUTANTS } from "./storage.ts";
import { DATABASE_MUTANTS } from "./coordination/databases.ts";
import { ETCD_WATCH_MUTANTS } from "./etcd/watch.ts";
import { ETCD_COORDINATION_MUTANTS } from "./etcd/coordination.ts";
import { EXPIRY_MUTANTS, TRANSACTION_MUTANTS } from "./transactions.ts";
import { UNSEEN_MUTANTS } from "./unseen.ts";
import { LEASE_TIME_MUTANTS } from "./coordination/lease_time.ts";
import { WATCH_CHECK_MUTANTS } from "./coordination/watch_checks.ts";
import { WATCH_MUTANTS } from "./coordination/watches.ts";
import { DENOKV_MUTANTS } from "./denokv/service.ts";
import { WEB_MUTANTS } from "./denokv/web.ts";
import { DENOKV_WATCH_MUTANTS } from "./denokv/watches.ts";

const numberOf = ({ id }: Mutant): number => Number(id.slice(1));

/** The mutants of `deno task mutants`. */
export const MUTANTS: readonly Mutant[] = [
  ...AUTH_MUTANTS,
  ...BACKUP_MUTANTS,
  ...MIRROR_MUTANTS,
  ...CONSENSUS_MUTANTS,
  ...LEADERSHIP_MUTANTS,
  ...LEASE_MUTANTS,
  ...MEMBERSHIP_MUTANTS,
  ...STORAGE_MUTANTS,
  ...SNAPSHOT_MUTANTS,
  ...SERVICE_MUTANTS,
  ...SIGN_IN_MUTANTS,
  ...NETWORK_MUTANTS,
  ...TLS_MUTANTS,
  ...INPUT_MUTANTS,
  ...HISTORY_MUTANTS,
  ...HOSTILE_MUTANTS,
  ...CLIENT_MUTANTS,
  ...COMMAND_LINE_MUTANTS,
  ...DIAGNOSIS_MUTANTS,
  ...SLOW_REQUEST_MUTANTS,
  ...DENOKV_COMMAND_MUTANTS,
  ...OVERLOAD_MUTANTS,
  ...TRANSACTION_MUTANTS,
  ...DATABASE_MUTANTS,
  ...ETCD_WATCH_MUTANTS,
  ...ETCD_COORDINATION_MUTANTS,
  ...EXPIRY_MUTANTS,
  ...UNSEEN_MUTANTS,
  ...PAST_MUTANTS,
  ...LEASE_TIME_MUTANTS,
  ...SIMULATED_MUTANTS,
  ...WATCH_CHECK_MUTANTS,
  ...WATCH_MUTANTS,
  ...LIMIT_MUTANTS,
  ...USER_MUTANTS,
  ...SIMULATED_USER_MUTANTS,
  ...PEER_SECRET_MUTANTS,
  ...DENOKV_WATCH_MUTANTS,
  ...DENOKV_MUTANTS,
  ...WEB_MUTANTS,
  ...ETCD_GATEWAY_MUTANTS,
  ...ETCD_KV_MUTANTS,
  ...ETCD_FRONT_END_MUTANTS,
  ...ETCD_HOSTILE_MUTANTS,
  ...ETCD_AUTH_MUTANTS,
].sort((a, b) => numberOf(a) - numberOf(b));
