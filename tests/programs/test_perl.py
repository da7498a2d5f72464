# SPDX-License-Identifier: Apache-2.0
"""perl: hashes, arrays, strings, regular expressions, closures, sorting and interpreter threads."""

import support

SCRIPT = r"""
use strict; use warnings; use threads; use Digest::SHA qw(sha256_hex); use Storable qw(dclone);
my $state = 12345;
sub rnd { my $n = shift; $state = ($state * 1103515245 + 12345) & 0x7fffffff; return $state % $n }
sub report { print "$_[0] ", sha256_hex($_[1]), "\n" }

my %count; my @words;
for my $i (1 .. 150000) {
    my $word = join '', map { chr(97 + rnd(26)) } 1 .. 2 + rnd(5);
    push @words, $word; $count{$word}++;
    delete $count{$words[rnd(scalar @words)]} if $i % 3 == 0;
}
report 'hash', join ' ', map { "$_=$count{$_}" } sort keys %count;
report 'sort', join ' ', (sort { length $a <=> length $b or $a cmp $b } @words)[0 .. 50000];

my $text = join ' ', @words[0 .. 60000];
(my $swapped = $text) =~ s/\b(\w)(\w*)(\w)\b/$3$2$1/g;
report 'substitute', $swapped;
my @found = $text =~ /\b([aeiou]\w*?[^aeiou\s]{2})\b/g;
report 'match', join ',', @found;

my $string = '';
for (1 .. 200000) {
    $string .= chr(65 + rnd(58));
    $string = substr($string, 5000) if length $string > 90000;
}
report 'string', $string;

my @queue;
for (1 .. 200000) { push @queue, [rnd(1000), 'x' x rnd(200)]; shift @queue if @queue > 5000 }
report 'queue', join ',', map { $_->[0] . length $_->[1] } @queue;

my $tree = {};
for (1 .. 20000) { my $at = $tree; $at = $at->{rnd(6)} //= {} for 1 .. 6; $at->{leaf} .= 'v' }
sub walk {
    my $t = shift;
    return ref $t ? '(' . join(',', map { $_ . walk($t->{$_}) } sort keys %$t) . ')' : $t;
}
report 'tree', walk(dclone($tree));

my @adders = map { my $n = $_; sub { $n + shift } } 1 .. 50000;
my $sum = 0; $sum += $_->(1) for @adders; print "closures $sum\n";

sub work {
    my $seed = shift; my %h; my $r = '';
    for my $i (1 .. 20000) { $seed = ($seed * 69069 + 1) & 0xffffffff; $h{$seed % 3000} .= $i % 10 }
    $r .= "$_$h{$_}" for sort keys %h;
    return sha256_hex($r);
}
print 'threads ', join(' ', map { $_->join } map { threads->create(\&work, $_) } 1 .. 4), "\n";
"""


class PerlTest(support.ProgramTest):
    programs = ("perl",)

    def test_churn_script(self):
        def workload(session):
            script = session.directory / "churn.pl"
            script.write_text(SCRIPT)
            output = session.run(["perl", script], PERL_HASH_SEED="0").decode()
            self.assertEqual(len(output.splitlines()), 9)
            return output

        self.same_under_both(workload)
