/** Roles at work: a document is compiled once, and bound to a device by filling in its variables. Denied unless granted. */
import type { DirectoryEntry, RoleAction, RoleDocument, RoleRule } from '#common/contract/directory.ts';
import { renewalRole } from '#common/contract/role-defaults.ts';
import type { Rights } from '../sessions/rights.ts';
import { filterCovers, filterMatches } from './topic-match.ts';

interface BoundRule {
  readonly levels: readonly string[];
  readonly maxQos: 0 | 1 | 2;
  readonly retain: boolean;
}

/** A role with no rule: what a device has whose role the directory does not know. */
const nothing: RoleDocument = { name: 'nothing', rules: [], severalSessions: false };

/** The rights of a device in a role. Cheap: rules are bound when they are first asked for. */
export function rightsOf(role: RoleDocument | undefined, entry: DirectoryEntry): Rights {
  return new RoleRights(role ?? nothing, entry);
}

class RoleRights implements Rights {
  readonly #role: RoleDocument;
  readonly #entry: DirectoryEntry;
  #bound: Partial<Record<RoleAction, readonly BoundRule[]>> | undefined;

  constructor(role: RoleDocument, entry: DirectoryEntry) {
    this.#role = role;
    this.#entry = entry;
  }

  get severalSessions(): boolean {
    return this.#role.severalSessions;
  }

  get renewalOnly(): boolean {
    return this.#role === renewalRole;
  }

  mayPublish(topic: string, qos: number, retain: boolean): boolean {
    const levels = topic.split('/');
    return this.#rules('publish').some(
      (rule) => qos <= rule.maxQos && (!retain || rule.retain) && filterMatches(rule.levels, levels),
    );
  }

  maySubscribe(filter: string): 0 | 1 | 2 | null {
    const asked = sharedFilter(filter);
    if (asked === null) return null;
    let granted: 0 | 1 | 2 | null = null;
    for (const rule of this.#rules('subscribe')) {
      if ((granted === null || rule.maxQos > granted) && filterCovers(rule.levels, asked))
        granted = rule.maxQos;
    }
    return granted;
  }

  mayReceive(topic: string): boolean {
    const levels = topic.split('/');
    return this.#rules('subscribe').some((rule) => filterMatches(rule.levels, levels));
  }

  mayRequest(path: string): boolean {
    const levels = path.split('/');
    return this.#rules('http').some((rule) => filterMatches(rule.levels, levels));
  }

  #rules(action: RoleAction): readonly BoundRule[] {
    this.#bound ??= {};
    this.#bound[action] ??= this.#role.rules.flatMap((rule) =>
      rule.allow === action ? bind(rule, this.#entry) : [],
    );
    return this.#bound[action];
  }
}

const variable = /\$\{([^}]*)\}/g;

/** The rule with its variables filled in; nothing when one is missing or could be read as more than a name. */
function bind(rule: RoleRule, entry: DirectoryEntry): BoundRule[] {
  let whole = true;
  const pattern = rule.pattern.replace(variable, (_all, name: string) => {
    const value = variableOf(name, entry);
    if (value === undefined || value === '' || /[+#/\0]/.test(value)) whole = false;
    return value ?? '';
  });
  return whole
    ? [{ levels: pattern.split('/'), maxQos: rule.maxQos ?? 2, retain: rule.retain ?? false }]
    : [];
}

function variableOf(name: string, entry: DirectoryEntry): string | undefined {
  if (name === 'device.id') return entry.device;
  if (name === 'device.fleet') return entry.fleet;
  const attribute = name.startsWith('device.attributes.') ? name.slice('device.attributes.'.length) : '';
  return Object.hasOwn(entry.attributes, attribute) ? entry.attributes[attribute] : undefined;
}

/** The levels to judge: `$share/<group>/<filter>` as `<filter>`; any other `$`, or a broken share, as nothing. */
function sharedFilter(filter: string): readonly string[] | null {
  const levels = filter.split('/');
  if (levels[0] !== '$share') return filter.startsWith('$') ? null : levels;
  const group = levels[1];
  const broken =
    group === undefined ||
    group === '' ||
    /[+#]/.test(group) ||
    levels.length < 3 ||
    levels[2]?.startsWith('$');
  return broken ? null : levels.slice(2);
}
