/**
 * Which sessions a topic is kept for: filters of QoS 1 and 2, in memory. A filter without `+` is found by its text, since a
 * topic has only as many of them as it has levels; what has a `+` is in a tree.
 */

/** A subscription of a session that is kept. */
export interface KeptSubscription {
  readonly clientId: string;
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
  readonly rh: number | undefined;
  readonly rap: boolean | undefined;
  readonly nl: boolean | undefined;
  readonly subscriptionIdentifier?: number;
}

interface Node {
  readonly next: Map<string, Node>;
  /** That end here, and that end here with `#`. */
  readonly exact: Map<string, KeptSubscription>;
  readonly open: Map<string, KeptSubscription>;
}

const newNode = (): Node => ({ next: new Map(), exact: new Map(), open: new Map() });

export class KeptFilters {
  readonly #byText = new Map<string, KeptSubscription | Map<string, KeptSubscription>>();
  readonly #tree = newNode();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(subscription: KeptSubscription): void {
    const { topic, clientId } = subscription;
    if (topic.includes('+')) {
      const { place } = this.#placeOf(topic);
      if (!place.has(clientId)) this.#size += 1;
      place.set(clientId, subscription);
      return;
    }
    const held = this.#byText.get(topic);
    if (held instanceof Map) {
      if (!held.has(clientId)) this.#size += 1;
      held.set(clientId, subscription);
    } else if (held === undefined || held.clientId === clientId) {
      if (held === undefined) this.#size += 1;
      this.#byText.set(topic, subscription);
    } else {
      this.#size += 1;
      const both = new Map([
        [held.clientId, held],
        [clientId, subscription],
      ]);
      this.#byText.set(topic, both);
    }
  }

  /** Harmless for one that is not in. */
  remove(topic: string, clientId: string): void {
    if (topic.includes('+')) {
      const { place, path } = this.#placeOf(topic);
      if (place.delete(clientId)) this.#size -= 1;
      prune(path);
      return;
    }
    const held = this.#byText.get(topic);
    if (held instanceof Map) {
      if (!held.delete(clientId)) return;
      this.#size -= 1;
      if (held.size === 0) this.#byText.delete(topic);
    } else if (held?.clientId === clientId) {
      this.#size -= 1;
      this.#byText.delete(topic);
    }
  }

  /** Every subscription that a topic matches (section 4.7). One that begins with a wildcard matches no `$` topic. */
  match(topic: string): KeptSubscription[] {
    const found: KeptSubscription[] = [];
    const isInternal = topic.startsWith('$');
    if (!isInternal) this.#take('#', found);
    for (let at = topic.indexOf('/'); at >= 0; at = topic.indexOf('/', at + 1))
      this.#take(`${topic.slice(0, at)}/#`, found);
    this.#take(`${topic}/#`, found);
    this.#take(topic, found);
    if (this.#tree.next.size > 0) descend(this.#tree, topic.split('/'), 0, isInternal, found);
    return found;
  }

  #take(filter: string, found: KeptSubscription[]): void {
    const held = this.#byText.get(filter);
    if (held === undefined) return;
    if (held instanceof Map) found.push(...held.values());
    else found.push(held);
  }

  #placeOf(filter: string): { place: Map<string, KeptSubscription>; path: [Node, string, Node][] } {
    const levels = filter.split('/');
    const isOpen = levels.at(-1) === '#';
    const path: [Node, string, Node][] = [];
    let node = this.#tree;
    for (const level of isOpen ? levels.slice(0, -1) : levels) {
      let next = node.next.get(level);
      if (!next) {
        next = newNode();
        node.next.set(level, next);
      }
      path.push([node, level, next]);
      node = next;
    }
    return { place: isOpen ? node.open : node.exact, path };
  }
}

function prune(path: [Node, string, Node][]): void {
  for (const [parent, level, node] of path.reverse()) {
    if (node.next.size > 0 || node.exact.size > 0 || node.open.size > 0) return;
    parent.next.delete(level);
  }
}

/** `#` stands for its parent too: it is taken at every node that the topic goes through. */
function descend(
  node: Node,
  levels: readonly string[],
  at: number,
  isInternal: boolean,
  found: KeptSubscription[],
): void {
  found.push(...node.open.values());
  if (at === levels.length) {
    found.push(...node.exact.values());
    return;
  }
  const named = node.next.get(levels[at]!);
  if (named) descend(named, levels, at + 1, isInternal, found);
  const any = at === 0 && isInternal ? undefined : node.next.get('+');
  if (any) descend(any, levels, at + 1, isInternal, found);
}
