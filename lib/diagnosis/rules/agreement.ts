/** Rules about what the nodes should have alike, and about their protection. */
import type { NodeDescription } from "../../client/types.ts";
import { type Found, namesOf, type Rule } from "../finding.ts";

const DAY_MS = 86_400_000;
/** Days before the end of a certificate at which that is reported, and at which it is a problem. */
const EXPIRY_WARNING_DAYS = 30;
const EXPIRY_PROBLEM_DAYS = 3;

/** The nodes run different versions. */
const VERSIONS: Rule = {
  name: "versions",
  why: "A mix is meant for the time of an upgrade only: what the older version does not know stays off.",
  find({ descriptions, nodes }): readonly Found[] {
    const older = descriptions.filter(({ kind }: NodeDescription) => kind === "older").map(({ id }) => id);
    const byVersion = Map.groupBy(nodes, ({ report }) => report.status.version);
    if (older.length === 0 && byVersion.size <= 1) return [];
    if (nodes.length === 0) {
      return [{
        severity: "warning",
        node: null,
        what: `No node that answers has a version with reports (${namesOf(older)}).`,
        why: "Without reports doctor knows of a node little more than that it answers.",
        remedy: "If nothing else is found, the cluster can be upgraded: docs/upgrading.md.",
      }];
    }
    const parts = [...byVersion].map(([version, same]) => `${namesOf(same.map(({ id }) => id))}: ${version}`);
    const all = [...older.length === 0 ? [] : [`${namesOf(older)}: a version without reports`], ...parts];
    return [{
      severity: "warning",
      node: null,
      what: `The nodes run different versions (${all.join("; ")}).`,
      remedy: "Finish the upgrade: restart the nodes that run the older version, one after the other.",
    }];
  },
};

/** The feature level of the cluster is lower than what the answering nodes know. */
const FEATURE_LEVEL: Rule = {
  name: "feature-level",
  why: "What the higher level brings stays off until every member has said that it knows it.",
  find({ nodes, leader, members }): readonly Found[] {
    const known = Math.min(...nodes.map(({ report }) => report.knownFeatureLevel));
    const level = leader?.report.featureLevel;
    if (level === undefined || level >= Math.max(...nodes.map(({ report }) => report.knownFeatureLevel))) {
      return [];
    }
    const ids = new Set(nodes.filter(({ report }) => report.knownFeatureLevel > level).map(({ id }) => id));
    const holding = members.map(({ id }) => id).filter((id) => !ids.has(id));
    if (holding.length === 0 && known > level) return []; // it is being raised now
    return [{
      severity: "warning",
      node: null,
      what: `The feature level is ${level}, held back by ${namesOf(holding)}.`,
      remedy: "Upgrade these nodes, start those that are down, or remove those that do not come back.",
    }];
  },
};

/** A setting differs between nodes. */
const SETTINGS: Rule = {
  name: "settings",
  why: "Any node may lead, and then its settings apply: the cluster behaves differently after each election.",
  find({ nodes }): readonly Found[] {
    const names = [...new Set(nodes.flatMap(({ report }) => report.config.map(({ name }) => name)))].sort();
    return names.flatMap((name): readonly Found[] => {
      const withIt = nodes.filter(({ report }) => report.config.some((setting) => setting.name === name));
      const byValue = Map.groupBy(
        withIt,
        ({ report }) => report.config.find((setting) => setting.name === name)?.value ?? "",
      );
      if (byValue.size <= 1) return [];
      const values = [...byValue].map(([value, same]) => `${namesOf(same.map(({ id }) => id))}: ${value}`);
      return [{
        severity: "warning",
        node: null,
        what: `--${name} differs (${values.join("; ")}).`,
        remedy: `Give all nodes the same --${name}, and restart those that you change, one after the other.`,
      }];
    });
  },
};

/** A certificate ends soon, or has ended. */
const CERTIFICATE: Rule = {
  name: "certificate",
  why: "After its end other nodes and clients refuse the node.",
  find: ({ nodes }) =>
    nodes.flatMap(({ id, report }): readonly Found[] => {
      const { tls: { certificateExpiresAtMs }, wallClockMs } = report;
      if (certificateExpiresAtMs === null) return [];
      const days = Math.floor((certificateExpiresAtMs - wallClockMs) / DAY_MS);
      if (days >= EXPIRY_WARNING_DAYS) return [];
      return [{
        severity: days < 0 ? "critical" : days < EXPIRY_PROBLEM_DAYS ? "problem" : "warning",
        node: id,
        what: `n${id}: its certificate ${days < 0 ? "has ended" : `ends in ${days} days`}.`,
        remedy:
          "Renew it and replace the files; the node reads them again within five seconds, without a restart.",
      }];
    }),
};

/** Nodes on several machines speak without TLS. */
const NO_TLS: Rule = {
  name: "no-tls",
  why: "A program that can read the network reads all keys, values and passwords.",
  find({ nodes, members }): readonly Found[] {
    const remote = members.filter(({ address }) => !isLoopback(address)).map(({ id }) => id);
    const plain = nodes.filter(({ report }) => !report.tls.enabled).map(({ id }) => id);
    if (remote.length === 0 || plain.length === 0) return [];
    return [{
      severity: "warning",
      node: null,
      what: `${namesOf(plain)} use no TLS, and the nodes have addresses beyond this machine.`,
      remedy:
        'Give all nodes certificates: docs/security.md, "TLS". On a network that you trust, ignore this.',
    }];
  },
};

function isLoopback(address: string): boolean {
  return /^(127\.|localhost:|\[::1\])/.test(address);
}

/** The rules of this file, the most important first. */
export const AGREEMENT: readonly Rule[] = [CERTIFICATE, VERSIONS, FEATURE_LEVEL, SETTINGS, NO_TLS];
