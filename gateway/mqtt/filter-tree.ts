/**
 * Values by topic filter, found by topic (MQTT 5, section 4.7): a tree of levels, so that what a topic costs does not grow
 * with the filters that do not match it. Its depth is bounded by the levels that a filter may have.
 */

interface Node<Value> {
  readonly children: Map<string, Node<Value>>;
  readonly values: Set<Value>;
}

const newNode = <Value>(): Node<Value> => ({ children: new Map(), values: new Set() });

export class FilterTree<Value> {
  readonly #root: Node<Value> = newNode();

  add(filter: string, value: Value): void {
    let node = this.#root;
    for (const level of filter.split('/')) {
      let child = node.children.get(level);
      if (!child) {
        child = newNode();
        node.children.set(level, child);
      }
      node = child;
    }
    node.values.add(value);
  }

  /** Takes the value away, and every branch that holds nothing any more. */
  remove(filter: string, value: Value): void {
    const levels = filter.split('/');
    const path: Node<Value>[] = [this.#root];
    for (const level of levels) {
      const child = path.at(-1)!.children.get(level);
      if (!child) return;
      path.push(child);
    }
    path.at(-1)!.values.delete(value);
    for (let depth = levels.length; depth > 0; depth--) {
      const { values, children } = path[depth]!;
      if (values.size > 0 || children.size > 0) return;
      path[depth - 1]!.children.delete(levels[depth - 1]!);
    }
  }

  /** Gives every value whose filter matches the topic; a leading wildcard does not match `$` [MQTT-4.7.2-1]. */
  match(topic: string, give: (value: Value) => void): void {
    const levels = topic.split('/');
    descend(this.#root, levels, 0, topic.startsWith('$'), give);
  }
}

function descend<Value>(
  { children, values }: Node<Value>,
  levels: readonly string[],
  depth: number,
  hidden: boolean,
  give: (value: Value) => void,
): void {
  const open = !hidden || depth > 0;
  // `a/#` matches `a` too (section 4.7.1.2).
  if (open) for (const value of children.get('#')?.values ?? []) give(value);
  if (depth === levels.length) {
    for (const value of values) give(value);
    return;
  }
  const exact = children.get(levels[depth]!);
  if (exact) descend(exact, levels, depth + 1, hidden, give);
  const any = open ? children.get('+') : undefined;
  if (any) descend(any, levels, depth + 1, hidden, give);
}
