/** The secret of an `Authorization` header: Basic, where any user name will do (RFC 7617), or Bearer (RFC 6750). */

/** Said with every 401 (RFC 7235, section 3.1). */
export const challenge = 'Basic realm="estrealm", charset="UTF-8", Bearer realm="estrealm"';

/** The password or the token; undefined when there is none that could be read. */
export function secretOf(authorization: string | null): string | undefined {
  const [, scheme = '', value = ''] = /^([A-Za-z]+) +([A-Za-z0-9._~+/=-]+)$/.exec(authorization ?? '') ?? [];
  if (value === '') return undefined;
  if (scheme.toLowerCase() === 'bearer') return value;
  if (scheme.toLowerCase() !== 'basic') return undefined;
  const credentials = Buffer.from(value, 'base64').toString('utf8');
  const colon = credentials.indexOf(':');
  const password = credentials.slice(colon + 1);
  return colon === -1 || password === '' ? undefined : password;
}
