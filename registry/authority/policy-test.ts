/** What a role would say to a request, and by which rule: the same matching as at the gateway, told in words. Pure. */
import type { RoleAction, RoleDocument, RoleRule } from '#common/contract/directory.ts';
import {
  type BoundRule,
  bindRule,
  grantsFilter,
  grantsPublish,
  grantsRequest,
  missingVariables,
  type RoleSubject,
  sharedFilter,
} from '#common/contract/role-match.ts';

/** What somebody would do. */
export interface PolicyQuestion {
  readonly action: RoleAction;
  /** A topic, a topic filter or a path. */
  readonly topic: string;
  /** 0 when absent. */
  readonly qos?: number;
  readonly retain?: boolean;
  /** Of http; GET when absent. */
  readonly method?: string;
}

export interface PolicyAnswer {
  readonly allowed: boolean;
  /** Counted from 1, with the document's own words; null when none decided. */
  readonly rule: (RoleRule & { readonly number: number }) | null;
  /** Of a subscription: the QoS that it would get. */
  readonly qos: number | null;
  /** For a person: by which rule, or why by none. */
  readonly why: string;
}

/** A role that nobody knows (null) grants nothing. */
export function testPolicy(
  role: RoleDocument | null,
  subject: RoleSubject,
  question: PolicyQuestion,
): PolicyAnswer {
  const refused = (why: string): PolicyAnswer => ({ allowed: false, rule: null, qos: null, why });
  if (role === null) return refused('The role does not exist.');
  const odd = oddTopic(question);
  if (odd) return refused(odd);
  const reasons: string[] = [];
  let best: { readonly index: number; readonly maxQos: number } | null = null;
  for (const [index, rule] of role.rules.entries()) {
    if (rule.allow !== question.action) continue;
    const bound = bindRule(rule, subject);
    if (bound === null) {
      reasons.push(`rule ${index + 1} has no usable value for ${missingVariables(rule, subject).join(', ')}`);
    } else if (grants(bound, question)) {
      if (best === null || bound.maxQos > best.maxQos) best = { index, maxQos: bound.maxQos };
    } else {
      const nearly = nearMiss(bound, question);
      if (nearly) reasons.push(`rule ${index + 1} ${nearly}`);
    }
  }
  if (best === null) {
    const none = `No rule of the role ${role.name} grants it`;
    return refused(reasons.length === 0 ? `${none}.` : `${none}: ${reasons.join('; ')}.`);
  }
  const { index, maxQos } = best;
  const qos = question.action === 'subscribe' ? Math.min(maxQos, question.qos ?? maxQos) : null;
  const rule = { number: index + 1, ...role.rules[index]! };
  return { allowed: true, rule, qos, why: `Rule ${index + 1} of the role ${role.name} grants it.` };
}

/** What no role grants. */
function oddTopic({ action, topic }: PolicyQuestion): string | null {
  if (action === 'publish' && /[+#]/.test(topic)) return 'A topic to publish to has no wildcards.';
  if (action === 'subscribe' && sharedFilter(topic) === null)
    return 'Topics that begin with $ are nobody’s, and a shared subscription is $share/GROUP/FILTER.';
  return null;
}

function grants(rule: BoundRule, { action, topic, qos = 0, retain = false, method = 'GET' }: PolicyQuestion) {
  const levels = topic.split('/');
  if (action === 'publish') return grantsPublish(rule, levels, qos, retain);
  if (action === 'subscribe') return grantsFilter(rule, sharedFilter(topic) ?? []);
  return grantsRequest(rule, levels, method);
}

/** Why a rule for this topic grants it not like this; null for a rule that is about something else. */
function nearMiss(rule: BoundRule, question: PolicyQuestion): string | null {
  const { action, topic, qos = 0, retain = false, method = 'GET' } = question;
  if (!grants({ ...rule, maxQos: 2, retain: true, methods: null }, question)) {
    const wider = action === 'subscribe' && grantsFilter({ ...rule, levels: topic.split('/') }, rule.levels);
    return wider ? 'grants a part of this filter only' : null;
  }
  if (qos > rule.maxQos && action === 'publish') return `grants QoS ${rule.maxQos} at most`;
  if (retain && !rule.retain) return 'does not grant RETAIN';
  return `does not grant ${method}`;
}
