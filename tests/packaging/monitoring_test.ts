/** The files of examples/monitoring: checked by promtool, and against the table of metrics and the manual. */
import { assertEquals } from "@std/assert";
import { parse } from "yaml";
import { METRICS } from "../../lib/server/metrics/metric_table.ts";
import { CHECKOUT, readCheckout } from "../support/checkout.ts";
import { runs, skip } from "../support/processes/process.ts";
import { runProgram } from "./linters.ts";

const FOLDER = "examples/monitoring";

interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}

Deno.test("monitoring: promtool accepts the configuration and the rules, and each rule fires when it should", async () => {
  if (!runs("promtool", "--version")) return skip("there is no promtool");
  for (
    const args of [["check", "config", "prometheus.yml"], ["check", "rules", "--lint-fatal", "alerts.yml"], [
      "test",
      "rules",
      "alerts_test.yml",
    ]]
  ) {
    const { code, stdout, stderr } = await runProgram("promtool", args, `${CHECKOUT}/${FOLDER}`);
    assertEquals(code, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  }
});

Deno.test("monitoring: every metric of the rules and of the dashboard exists, with its labels", () => {
  const expressions = [...alertRules().map(({ expr }) => expr), ...dashboardExpressions()];
  const problems = expressions.flatMap(expressionProblems);
  assertEquals(problems, []);
  assertEquals(expressionProblems('kvraft_nothing{job="a"} + kvraft_leader{peer="1"} > 0'), [
    "kvraft_nothing is no metric",
    "kvraft_leader has no label peer",
  ]);
});

Deno.test("monitoring: every alert has a section in docs/operations.md, a summary and a test", () => {
  const headings = [...readCheckout("docs/operations.md").matchAll(/^### (Kvraft\w+)$/gm)].map(([, name]) =>
    name
  );
  assertEquals(headings, alertRules().map(({ alert }) => alert));
  const tests = readCheckout(`${FOLDER}/alerts_test.yml`);
  for (const { alert, annotations } of alertRules()) {
    assertEquals(Object.keys(annotations), ["summary", "description", "runbook_url"], alert);
    assertEquals(annotations["runbook_url"], `docs/operations.md#${alert.toLowerCase()}`);
    assertEquals(tests.split(`name: ${alert} fires\n`).length, 2, `${alert} has one test that it fires`);
    assertEquals(tests.includes(`{ alertname: ${alert}, eval_time: 80m, exp_alerts: [] }`), true, alert);
  }
});

Deno.test("monitoring: the panels of the dashboard have ids of their own and do not overlap", () => {
  const { panels } = dashboard();
  assertEquals(new Set(panels.map(({ id }) => id)).size, panels.length);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, at) => `${x + at % w},${y + Math.floor(at / w)}`)
  );
  assertEquals(new Set(cells).size, cells.length);
});

interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly gridPos: Readonly<Record<"x" | "y" | "w" | "h", number>>;
    readonly targets?: readonly { readonly expr: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly definition?: string }[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

function dashboard(): Dashboard {
  return JSON.parse(readCheckout(`${FOLDER}/dashboard.json`));
}

function dashboardExpressions(): readonly string[] {
  const { panels, templating, annotations } = dashboard();
  return [
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...templating.list.map(({ definition = "" }) => definition),
    ...annotations.list.map(({ expr }) => expr),
  ];
}

function alertRules(): readonly AlertRule[] {
  return parse(readCheckout(`${FOLDER}/alerts.yml`)).groups.flatMap((group: { rules: AlertRule[] }) =>
    group.rules
  );
}

/** Returns a sentence for each metric of an expression of PromQL that kvraft does not have, and for each label. */
function expressionProblems(expression: string): readonly string[] {
  return [...expression.matchAll(/\b((?:kvraft|process)_\w+)(?:\{([^}]*)\})?/g)].flatMap(
    ([, used = "", matchers = ""]) => {
      const metric = METRICS.find(({ name, type }) =>
        name === used || type === "histogram" && name === used.replace(/_(bucket|sum|count)$/, "")
      );
      if (metric === undefined) return [`${used} is no metric`];
      const labels = [...matchers.matchAll(/(\w+) *(?:=~|!~|!=|=)/g)].map(([, label = ""]) => label);
      const known = [...metric.labels, "job", "instance", ...metric.type === "histogram" ? ["le"] : []];
      return labels.filter((label) => !known.includes(label)).map((label) => `${used} has no label ${label}`);
    },
  );
}
