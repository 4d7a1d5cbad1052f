/**
 * Messages within messages. Every error reads "Cannot do this: reason. What to do."; where one is the reason of another,
 * only its own reason is told: {@link reasonOf} is the one place where that is made so.
 */

/** What every error begins with. */
const PREFIX = "Cannot ";
/** What stands between what could not be done and why. No address holds it. */
const SEPARATOR = ": ";

/** What a message says behind "Cannot …: ", however often it does; the whole message where it says nothing behind it. */
export function reasonOf(message: string): string {
  if (!message.startsWith(PREFIX)) return message;
  const end = message.indexOf(SEPARATOR);
  return end < 0 ? message : reasonOf(message.slice(end + SEPARATOR.length));
}

/** The same as a part of a sentence: without the full stop at its end. */
export function reasonWithin(message: string): string {
  return reasonOf(message).replace(/\.$/, "");
}
