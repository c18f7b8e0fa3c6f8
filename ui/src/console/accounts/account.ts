import type { Body } from '../../lib/api';
import { membersOf } from '../members';

export const ROLES = membersOf<Body<'Role'>>({
  customer: true,
  restaurant: true,
  courier: true,
  admin: true,
});

/** Name of an account for people. */
export function labelOf(account: Pick<Body<'Account'>, 'id' | 'name' | 'email'>): string {
  return account.name ?? account.email ?? account.id;
}

/** Whether a session or key can still be used. */
export function isActive(entry: { revoked_at?: string; expires_at?: string }, now: number): boolean {
  return entry.revoked_at === undefined && (entry.expires_at === undefined || Date.parse(entry.expires_at) > now);
}
