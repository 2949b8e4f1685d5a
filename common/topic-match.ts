/** MQTT topic filters (MQTT 5, section 4.7), level by level, without regular expressions or recursion. Pure. */

/** Whether a filter matches a topic; `a/#` matches `a` too [MQTT-4.7.1-2]. A leading wildcard never matches a topic that begins with `$` [MQTT-4.7.2-1]. */
export function filterMatches(filter: readonly string[], topic: readonly string[]): boolean {
  if (topic[0]?.startsWith('$') && (filter[0] === '#' || filter[0] === '+')) return false;
  for (let level = 0; level < filter.length; level++) {
    if (filter[level] === '#') return true;
    if (level >= topic.length || (filter[level] !== '+' && filter[level] !== topic[level])) return false;
  }
  return filter.length === topic.length;
}

/** Whether every topic that `asked` can match is matched by `granted` too. */
export function filterCovers(granted: readonly string[], asked: readonly string[]): boolean {
  if (asked[0]?.startsWith('$') && (granted[0] === '#' || granted[0] === '+')) return false;
  for (let level = 0; level < granted.length; level++) {
    const mine = granted[level];
    const theirs = asked[level];
    if (mine === '#') return true;
    if (theirs === undefined || theirs === '#') return false;
    if (mine !== '+' && mine !== theirs) return false;
  }
  return granted.length === asked.length;
}
