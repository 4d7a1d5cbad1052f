/**
 * The messages of etcd v3 as its .proto files have them, and their binary form, for tests: written apart from lib/etcd, so
 * that a wrong number there is found. Bytes are strings of which every character is one byte; fields that have their
 * default are absent.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { assert } from "@std/assert";

/** A message. */
export type Message = Readonly<Record<string, unknown>>;

/**
 * A message a line: its name, then name=number:type of its fields. b: bytes, s: string, i: int64, u: uint64, n: uint32 or
 * enum, t: bool, else the name of a message; * is repeated, + has a presence.
 */
const SCHEMA = `
Header cluster_id=1:u member_id=2:u revision=3:i raft_term=4:u
KeyValue key=1:b create_revision=2:i mod_revision=3:i version=4:i value=5:b lease=6:i
Event type=1:n kv=2:KeyValue prev_kv=3:KeyValue
Empty
HeaderOnly header=1:Header
RangeRequest key=1:b range_end=2:b limit=3:i revision=4:i sort_order=5:n sort_target=6:n serializable=7:t keys_only=8:t count_only=9:t min_mod_revision=10:i max_mod_revision=11:i min_create_revision=12:i max_create_revision=13:i
RangeResponse header=1:Header kvs=2:KeyValue* more=3:t count=4:i
RangeStreamResponse range_response=1:RangeResponse
PutRequest key=1:b value=2:b lease=3:i prev_kv=4:t ignore_value=5:t ignore_lease=6:t
PutResponse header=1:Header prev_kv=2:KeyValue
DeleteRangeRequest key=1:b range_end=2:b prev_kv=3:t
DeleteRangeResponse header=1:Header deleted=2:i prev_kvs=3:KeyValue*
RequestOp request_range=1:RangeRequest request_put=2:PutRequest request_delete_range=3:DeleteRangeRequest request_txn=4:TxnRequest
ResponseOp response_range=1:RangeResponse response_put=2:PutResponse response_delete_range=3:DeleteRangeResponse response_txn=4:TxnResponse
Compare result=1:n target=2:n key=3:b version=4:i+ create_revision=5:i+ mod_revision=6:i+ value=7:b+ lease=8:i+ range_end=64:b
TxnRequest compare=1:Compare* success=2:RequestOp* failure=3:RequestOp*
TxnResponse header=1:Header succeeded=2:t responses=3:ResponseOp*
CompactionRequest revision=1:i physical=2:t
WatchRequest create_request=1:WatchCreateRequest cancel_request=2:WatchCancelRequest progress_request=3:Empty
WatchCreateRequest key=1:b range_end=2:b start_revision=3:i progress_notify=4:t filters=5:n* prev_kv=6:t watch_id=7:i fragment=8:t
WatchCancelRequest watch_id=1:i
WatchResponse header=1:Header watch_id=2:i created=3:t canceled=4:t compact_revision=5:i cancel_reason=6:s fragment=7:t events=11:Event*
LeaseGrantRequest TTL=1:i ID=2:i
LeaseGrantResponse header=1:Header ID=2:i TTL=3:i error=4:s
LeaseRequest ID=1:i
LeaseKeepAliveResponse header=1:Header ID=2:i TTL=3:i
LeaseTimeToLiveRequest ID=1:i keys=2:t
LeaseTimeToLiveResponse header=1:Header ID=2:i TTL=3:i grantedTTL=4:i keys=5:b*
LeaseLeasesResponse header=1:Header leases=2:LeaseRequest*
Member ID=1:u name=2:s peerURLs=3:s* clientURLs=4:s* isLearner=5:t
MemberListRequest linearizable=1:t
MemberResponse header=1:Header members=2:Member*
MemberId ID=1:u
MemberAddRequest peerURLs=1:s* isLearner=2:t
MemberAddResponse header=1:Header member=2:Member members=3:Member*
MemberUpdateRequest ID=1:u peerURLs=2:s*
AlarmRequest action=1:n memberID=2:u alarm=3:n
AlarmMember memberID=1:u alarm=2:n
AlarmResponse header=1:Header alarms=2:AlarmMember*
StatusResponse header=1:Header version=2:s dbSize=3:i leader=4:u raftIndex=5:u raftTerm=6:u raftAppliedIndex=7:u errors=8:s* dbSizeInUse=9:i isLearner=10:t storageVersion=11:s dbSizeQuota=12:i downgradeInfo=13:Empty
MoveLeaderRequest targetID=1:u
HashKVRequest revision=1:i
DowngradeRequest action=1:n version=2:s
HealthCheckRequest service=1:s
HealthCheckResponse status=1:n
HashKVResponse header=1:Header hash=2:n compact_revision=3:i hash_revision=4:i
AuthenticateRequest name=1:s password=2:s
AuthenticateResponse header=1:Header token=2:s
LockRequest name=1:b lease=2:i
LockResponse header=1:Header key=2:b
UnlockRequest key=1:b
LeaderKey name=1:b key=2:b rev=3:i lease=4:i
CampaignRequest name=1:b lease=2:i value=3:b
CampaignResponse header=1:Header leader=2:LeaderKey
LeaderRequest name=1:b
LeaderResponse header=1:Header kv=2:KeyValue
ResignRequest leader=1:LeaderKey
ProclaimRequest leader=1:LeaderKey value=2:b
`;

/** Methods with the names of their messages. */
const METHODS: Readonly<Record<string, readonly [request: string, response: string]>> = {
  "etcdserverpb.KV/Range": ["RangeRequest", "RangeResponse"],
  "etcdserverpb.KV/RangeStream": ["RangeRequest", "RangeStreamResponse"],
  "etcdserverpb.KV/Put": ["PutRequest", "PutResponse"],
  "etcdserverpb.KV/DeleteRange": ["DeleteRangeRequest", "DeleteRangeResponse"],
  "etcdserverpb.KV/Txn": ["TxnRequest", "TxnResponse"],
  "etcdserverpb.KV/Compact": ["CompactionRequest", "HeaderOnly"],
  "etcdserverpb.Watch/Watch": ["WatchRequest", "WatchResponse"],
  "etcdserverpb.Lease/LeaseGrant": ["LeaseGrantRequest", "LeaseGrantResponse"],
  "etcdserverpb.Lease/LeaseRevoke": ["LeaseRequest", "HeaderOnly"],
  "etcdserverpb.Lease/LeaseKeepAlive": ["LeaseRequest", "LeaseKeepAliveResponse"],
  "etcdserverpb.Lease/LeaseTimeToLive": ["LeaseTimeToLiveRequest", "LeaseTimeToLiveResponse"],
  "etcdserverpb.Lease/LeaseLeases": ["Empty", "LeaseLeasesResponse"],
  "etcdserverpb.Cluster/MemberList": ["MemberListRequest", "MemberResponse"],
  "etcdserverpb.Cluster/MemberAdd": ["MemberAddRequest", "MemberAddResponse"],
  "etcdserverpb.Cluster/MemberUpdate": ["MemberUpdateRequest", "MemberResponse"],
  "etcdserverpb.Cluster/MemberPromote": ["MemberId", "MemberResponse"],
  "etcdserverpb.Maintenance/HashKV": ["HashKVRequest", "HashKVResponse"],
  "etcdserverpb.Maintenance/Downgrade": ["DowngradeRequest", "HeaderOnly"],
  "grpc.health.v1.Health/Check": ["HealthCheckRequest", "HealthCheckResponse"],
  "grpc.health.v1.Health/Watch": ["HealthCheckRequest", "HealthCheckResponse"],
  "etcdserverpb.Cluster/MemberRemove": ["MemberId", "MemberResponse"],
  "etcdserverpb.Maintenance/Alarm": ["AlarmRequest", "AlarmResponse"],
  "etcdserverpb.Maintenance/Status": ["Empty", "StatusResponse"],
  "etcdserverpb.Maintenance/Defragment": ["Empty", "HeaderOnly"],
  "etcdserverpb.Maintenance/MoveLeader": ["MoveLeaderRequest", "HeaderOnly"],
  "etcdserverpb.Auth/Authenticate": ["AuthenticateRequest", "AuthenticateResponse"],
  "v3lockpb.Lock/Lock": ["LockRequest", "LockResponse"],
  "v3lockpb.Lock/Unlock": ["UnlockRequest", "HeaderOnly"],
  "v3electionpb.Election/Campaign": ["CampaignRequest", "CampaignResponse"],
  "v3electionpb.Election/Leader": ["LeaderRequest", "LeaderResponse"],
  "v3electionpb.Election/Observe": ["LeaderRequest", "LeaderResponse"],
  "v3electionpb.Election/Resign": ["ResignRequest", "HeaderOnly"],
  "v3electionpb.Election/Proclaim": ["ProclaimRequest", "HeaderOnly"],
};

interface Field {
  readonly name: string;
  readonly number: number;
  readonly type: string;
  readonly isRepeated: boolean;
  /** Whether the default is written, too. */
  readonly hasPresence: boolean;
}

const MESSAGES: ReadonlyMap<string, readonly Field[]> = new Map(
  SCHEMA.trim().split("\n").map((line) => {
    const [name = "", ...fields] = line.split(" ");
    return [name, fields.map(fieldOf)];
  }),
);

function fieldOf(text: string): Field {
  const [, name = "", number, type = "", mark] = /^(\w+)=(\d+):(\w+)([*+]?)$/.exec(text) ?? [];
  return { name, number: Number(number), type, isRepeated: mark === "*", hasPresence: mark === "+" };
}

/** Returns the messages of a method; a method that is not known takes and gives empty ones. */
export function messagesOf(method: string): readonly [request: string, response: string] {
  return METHODS[method] ?? ["Empty", "Empty"];
}

/** Returns the binary form of a message. */
export function encodeMessage(type: string, message: Message): Uint8Array {
  const output = new BinaryWriter();
  writeMessage(output, type, message);
  return output.finish();
}

/** Returns the message that bytes contain; a field that the schema does not have is an error. */
export function decodeMessage(type: string, bytes: Uint8Array): Message {
  const input = new BinaryReader(bytes);
  const message: Record<string, unknown> = {};
  while (input.pos < input.len) {
    const [number, wireType] = input.tag();
    const field = MESSAGES.get(type)?.find((one) => one.number === number);
    assert(field !== undefined, `${type} has a field ${number}`);
    if (wireType === WireType.LengthDelimited && field.isRepeated && "iun".includes(field.type)) {
      const end = input.uint32() + input.pos;
      const packed: unknown[] = [];
      while (input.pos < end) packed.push(readValue(input, field.type));
      message[field.name] = packed;
      continue;
    }
    const value = readValue(input, field.type);
    const before = message[field.name];
    message[field.name] = field.isRepeated ? [...Array.isArray(before) ? before : [], value] : value;
  }
  return message;
}

function writeMessage(output: BinaryWriter, type: string, message: Message): void {
  const fields = MESSAGES.get(type) ?? [];
  for (const [name, value] of Object.entries(message)) {
    const field = fields.find((one) => one.name === name);
    assert(field !== undefined, `${type} has a field ${name}`);
    const values = field.isRepeated && Array.isArray(value) ? value : [value];
    for (const one of values) {
      if (!field.isRepeated && !field.hasPresence && (one === 0 || one === "" || one === false)) continue;
      writeField(output, field, one);
    }
  }
}

function writeField(output: BinaryWriter, { number, type }: Field, value: unknown): void {
  switch (type) {
    case "b":
    case "s":
      output.tag(number, WireType.LengthDelimited).bytes(bytesOf(String(value), type));
      return;
    case "i":
      output.tag(number, WireType.Varint).int64(String(value));
      return;
    case "u":
      output.tag(number, WireType.Varint).uint64(String(value));
      return;
    case "n":
      output.tag(number, WireType.Varint).uint32(Number(value));
      return;
    case "t":
      output.tag(number, WireType.Varint).bool(value === true);
      return;
    default:
      output.tag(number, WireType.LengthDelimited).fork();
      writeMessage(output, type, Object(value));
      output.join();
  }
}

function readValue(input: BinaryReader, type: string): unknown {
  switch (type) {
    case "b":
      return latin1(input.bytes());
    case "s":
      return input.string();
    case "i":
      return integerOf(BigInt(input.int64()));
    case "u":
      return integerOf(BigInt(input.uint64()));
    case "n":
      return input.uint32();
    case "t":
      return input.bool();
    default:
      return decodeMessage(type, input.bytes());
  }
}

/** Returns a number; a bigint where a number is not exact. */
function integerOf(value: bigint): number | bigint {
  return BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function bytesOf(text: string, type: "b" | "s"): Uint8Array {
  if (type === "s") return new TextEncoder().encode(text);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
