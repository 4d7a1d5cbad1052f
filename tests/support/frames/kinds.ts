/** The numbers of all frames, from their tables. */
import { CLIENT_REQUESTS, SERVER_MESSAGES } from "../../../lib/protocol/client_frames.ts";
import { HELLO_ANSWERS, HELLO_NUMBER, PEER_PROOFS } from "../../../lib/protocol/hello.ts";
import { PEER_FRAMES } from "../../../lib/protocol/peer_frames.ts";

/** The first element of each kind of frame. */
export const FRAME_KIND = {
  hello: HELLO_NUMBER,
  ...HELLO_ANSWERS.numbers,
  ...PEER_PROOFS.numbers,
  ...PEER_FRAMES.numbers,
  ...CLIENT_REQUESTS.numbers,
  ...SERVER_MESSAGES.numbers,
};
