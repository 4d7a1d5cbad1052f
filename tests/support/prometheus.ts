/** A parser of Prometheus' text format, as strict as Prometheus. */

/** One metric with its samples. */
export interface ParsedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: ParsedSample[];
}

/** One line. */
export interface ParsedSample {
  /** With `_bucket`, `_sum` or `_count` for a part of a histogram. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\+Inf|-?[0-9.]+(?:e[+-]?[0-9]+)?)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/** Returns every metric of a page, by name; throws for invalid lines. */
export function parseMetrics(text: string): ReadonlyMap<string, ParsedMetric> {
  if (!text.endsWith("\n")) throw new Error("the last line is not ended");
  const metrics = new Map<string, ParsedMetric>();
  const seen = new Set<string>();
  let metric: ParsedMetric | null = null;
  let help: { readonly name: string; readonly text: string } | null = null;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, keyword, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword === "HELP") {
      help = { name, text: rest };
    } else if (keyword === "TYPE") {
      if (!NAME.test(name) || metrics.has(name) || help?.name !== name) throw new Error(`wrong: ${line}`);
      if (!["counter", "gauge", "histogram"].includes(rest)) throw new Error(`no such type: ${line}`);
      metric = { name, help: help.text, type: rest, samples: [] };
      metrics.set(name, metric);
    } else {
      const sample = parseSample(line);
      const key = `${sample.name} ${JSON.stringify(sample.labels)}`;
      if (metric === null || seen.has(key)) throw new Error(`not in its place, or twice: ${line}`);
      if (!belongs(sample.name, metric)) throw new Error(`not of ${metric.name}: ${line}`);
      seen.add(key);
      metric.samples.push(sample);
    }
  }
  return metrics;
}

/** Sums a metric's samples that have these labels (of a histogram: those whose name ends so). */
export function sumOf(
  metrics: ReadonlyMap<string, ParsedMetric>,
  name: string,
  { labels = {}, suffix = "" }: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly suffix?: string;
  } = {},
): number {
  const metric = metrics.get(name);
  if (metric === undefined) throw new Error(`there is no metric ${name}`);
  return metric.samples
    .filter((sample) =>
      sample.name === name + suffix &&
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value)
    )
    .reduce((sum, { value }) => sum + value, 0);
}

function parseSample(line: string): ParsedSample {
  const [, name = "", labelText = "", number = ""] = SAMPLE.exec(line) ?? [];
  if (name === "") throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  for (let at = 0; at < labelText.length; at = LABEL.lastIndex) {
    const [, label = "", value = ""] = LABEL.exec(labelText) ?? [];
    if (label === "" || label in labels) throw new Error(`wrong labels: ${line}`);
    labels[label] = value.replace(/\\(.)/g, (_, character) => character === "n" ? "\n" : character);
  }
  return { name, labels, value: number === "+Inf" ? Infinity : Number(number) };
}

function belongs(name: string, { name: of, type }: ParsedMetric): boolean {
  return type === "histogram" ? [`${of}_bucket`, `${of}_sum`, `${of}_count`].includes(name) : name === of;
}

/** Fetches the pages of a node on loopback, and returns the only sample of a metric. */
export async function metricAt(httpPort: number, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${httpPort}/metrics`);
  const [sample] = parseMetrics(await answer.text()).get(name)?.samples ?? [];
  if (sample === undefined) throw new Error(`There is no metric ${name}`);
  return sample.value;
}
