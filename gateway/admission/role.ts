/** Roles at work: a document is compiled once, and bound to a device by filling in its variables. Denied unless granted. */
import type { DirectoryEntry, FleetTerms, RoleAction, RoleDocument } from '#common/contract/directory.ts';
import { limitsInForce, type MessageLimits } from '#common/contract/message-limits.ts';
import { renewalRole } from '#common/contract/role-defaults.ts';
import {
  type BoundRule,
  bindRule,
  grantsFilter,
  grantsPublish,
  grantsRequest,
  sharedFilter,
} from '#common/contract/role-match.ts';
import { filterMatches } from '#common/topic-match.ts';
import type { Rights } from '../sessions/rights.ts';

/** A role with no rule: what a device has whose role the directory does not know. */
const nothing: RoleDocument = { name: 'nothing', rules: [], severalSessions: false };

/** The rights of a device in a role. Cheap: rules are bound when they are first asked for. */
export function rightsOf(role: RoleDocument | undefined, entry: DirectoryEntry, terms?: FleetTerms): Rights {
  return new RoleRights(role ?? nothing, entry, terms);
}

class RoleRights implements Rights {
  readonly #role: RoleDocument;
  readonly #entry: DirectoryEntry;
  readonly #terms: FleetTerms | undefined;
  #bound: Partial<Record<RoleAction, readonly BoundRule[]>> | undefined;

  constructor(role: RoleDocument, entry: DirectoryEntry, terms: FleetTerms | undefined) {
    this.#role = role;
    this.#entry = entry;
    this.#terms = terms;
  }

  get severalSessions(): boolean {
    return this.#role.severalSessions;
  }

  get renewalOnly(): boolean {
    return this.#role === renewalRole;
  }

  get limits(): MessageLimits | null {
    return limitsInForce(this.#role.limits, this.#terms?.limits, this.#entry.limits);
  }

  mayPublish(topic: string, qos: number, retain: boolean): boolean {
    const levels = topic.split('/');
    return this.#rules('publish').some((rule) => grantsPublish(rule, levels, qos, retain));
  }

  maySubscribe(filter: string): 0 | 1 | 2 | null {
    const asked = sharedFilter(filter);
    if (asked === null) return null;
    let granted: 0 | 1 | 2 | null = null;
    for (const rule of this.#rules('subscribe')) {
      if ((granted === null || rule.maxQos > granted) && grantsFilter(rule, asked)) granted = rule.maxQos;
    }
    return granted;
  }

  mayReceive(topic: string): boolean {
    const levels = topic.split('/');
    return this.#rules('subscribe').some((rule) => filterMatches(rule.levels, levels));
  }

  mayRequest(path: string, method?: string): boolean {
    const levels = path.split('/');
    return this.#rules('http').some((rule) => grantsRequest(rule, levels, method));
  }

  mayHaveLastWord(topic: string): boolean {
    return this.#role.lastWord === true && isDeathTopic(topic);
  }

  #rules(action: RoleAction): readonly BoundRule[] {
    this.#bound ??= {};
    this.#bound[action] ??= this.#role.rules.flatMap((rule) => {
      const bound = rule.allow === action ? bindRule(rule, this.#entry) : null;
      return bound === null ? [] : [bound];
    });
    return this.#bound[action];
  }
}

/** `spBv1.0/<group>/NDEATH/<node>`, with or without more (Sparkplug 3.0.0, section 6.4.1). */
function isDeathTopic(topic: string): boolean {
  const [namespace, group = '', kind, node = ''] = topic.split('/');
  return namespace === 'spBv1.0' && group !== '' && kind === 'NDEATH' && node !== '';
}
