#!/bin/sh
# usage: samples/make_repository.sh FOLDER
# Makes a git repository with the sample notes. One that is there already is left as it is.
set -eu

folder=$1
notes=$(cd "$(dirname "$0")/notes" && pwd)

if [ -e "$folder/.git" ]; then
  echo "using the sample repository in $folder" >&2
  exit 0
fi
new="$folder.new"
rm -rf "$new"
mkdir -p "$new"
cp -R "$notes/." "$new/"
git -C "$new" -c init.defaultBranch=main init --quiet
git -C "$new" add --all
git -C "$new" -c user.name=Sample -c user.email=sample@localhost -c commit.gpgSign=false \
  commit --quiet --no-verify -m "A dozen working notes"
mv "$new" "$folder"
echo "made a sample repository in $folder" >&2
