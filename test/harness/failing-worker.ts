/** A worker program for tests: opens its doors, and ends soon after. */
process.on('message', (words: { call: number; method: string }[]) => {
  for (const { call, method } of words) {
    if (method !== 'open') continue;
    process.send!([{ answer: call, value: { mqtts: 1, https: 2 } }], () =>
      process.kill(process.pid, 'SIGKILL'),
    );
  }
});
