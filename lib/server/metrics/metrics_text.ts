/** The table of metrics as text: for Prometheus, and for docs/metrics.md. */
import { assertNever } from "../../platform/assert.ts";
import type { Histogram, Labels, Metric, MetricSources } from "./metric.ts";
import { METRICS } from "./metric_table.ts";

/** The content type of {@link renderMetrics}: Prometheus' text format, version 0.0.4. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Returns all metrics with their current values. */
export function renderMetrics(sources: MetricSources): string {
  return METRICS.map((metric) => {
    const { name, type, help } = metric;
    const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
    switch (metric.type) {
      case "counter":
      case "gauge":
        for (const { labels, value } of metric.read(sources)) lines.push(sampleLine(name, labels, value));
        break;
      case "histogram":
        for (const histogram of metric.read(sources)) lines.push(...histogramLines(name, histogram));
        break;
      default:
        assertNever(metric);
    }
    return lines.join("\n") + "\n";
  }).join("");
}

/** Returns the page docs/metrics.md. */
export function describeMetrics(): string {
  const groups = [...new Set(METRICS.map(({ group }) => group))];
  const sections = groups.map((group) => {
    const rows = METRICS.filter((metric) => metric.group === group).map(describe);
    return `## ${group}\n\n${rows.join("\n")}\n`;
  });
  return `# Metrics

A node that was started with \`--http host:port\` gives these under \`/metrics\`, in the text format of Prometheus.
Made from the table in \`lib/server/metrics/metric_table.ts\`; after a change there,
\`deno task golden\` writes this page again.

Counters begin at 0 when the process starts. Buckets of histograms double. No metric has a key or a value in it.

${sections.join("\n")}`;
}

function describe({ name, type, unit, labels, help, measured }: Metric): string {
  const by = labels.length === 0 ? "" : `, by ${labels.map((label) => `\`${label}\``).join(", ")}`;
  return `- \`${name}\` (${type}${
    unit === "" ? "" : `, ${unit}`
  }${by}): ${help} Measured in \`${measured}\`.`;
}

function histogramLines(
  name: string,
  { labels, histogram: { buckets, sum }, scale }: Histogram,
): readonly string[] {
  const count = buckets.at(-1)?.count ?? 0;
  return [
    ...buckets.map((bucket) =>
      sampleLine(`${name}_bucket`, { ...labels, le: numberText(scaled(bucket.bound, scale)) }, bucket.count)
    ),
    sampleLine(`${name}_sum`, labels, scaled(sum, scale)),
    sampleLine(`${name}_count`, labels, count),
  ];
}

/** Returns a value in the unit of its metric, rounded to hide errors of floating point. */
function scaled(value: number, scale: number): number {
  return Number.isFinite(value) ? Math.round(value * scale * 1e6) / 1e6 : value;
}

function sampleLine(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(String(text))}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${numberText(value)}`;
}

function numberText(value: number): string {
  return value === Infinity ? "+Inf" : String(value);
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
