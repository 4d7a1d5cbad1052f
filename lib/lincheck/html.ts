/** Text that is put into a page is escaped unless it is markup already: there is no way to forget it. */

/** Markup. Made by {@link html} alone. */
export class Html {
  readonly #markup: string;

  /** Takes markup as it is. */
  constructor(markup: string) {
    this.#markup = markup;
  }

  /** The markup as text, to be written out. */
  toString(): string {
    return this.#markup;
  }
}

/** Markup with values in it: texts and numbers are escaped, markup stays as it is. */
export function html(
  parts: TemplateStringsArray,
  ...values: readonly (string | number | Html | readonly Html[])[]
): Html {
  const filled = values.map((value, i) => `${rendered(value)}${parts[i + 1] ?? ""}`);
  return new Html(`${parts[0] ?? ""}${filled.join("")}`);
}

function rendered(value: string | number | Html | readonly Html[]): string {
  if (value instanceof Html) return value.toString();
  if (typeof value === "string" || typeof value === "number") return escapeHtml(String(value));
  return value.map((each) => each.toString()).join("\n");
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll(
    '"',
    "&quot;",
  )
    .replaceAll("'", "&#39;");
}
