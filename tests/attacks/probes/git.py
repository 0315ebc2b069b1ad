"""Tries to make or change the tree's ``.git``, by every name that a program has for it. Reports which ways went."""

import json
import os
import shutil
import sys

done = []


def attempt(name, way):
    try:
        way()
    except OSError:
        return
    done.append(name)


def write(path):
    with open(path, "w") as file:
        file.write("[core]\n\tfsmonitor = /work/evil\n")


def replace_by_rename():
    os.mkdir("other")
    write("other/config")
    os.rename("other", ".git")


def replace_by_file():
    write("gitfile")
    os.rename("gitfile", ".git")


def replace_by_link():
    os.symlink("/tmp", "gitlink")
    os.rename("gitlink", ".git")


if os.path.isdir(".git"):
    attempt("read the configuration", lambda: os.close(os.open(".git/config", os.O_RDONLY)))
attempt("write the configuration", lambda: write(".git/config"))
attempt("make a hook folder", lambda: os.mkdir(".git/hooks"))
attempt("write a hook", lambda: write(".git/hooks/post-checkout"))
attempt("make it anew as a folder", lambda: os.mkdir(".git"))
attempt("write it as a file", lambda: write(".git"))
attempt("give it rights", lambda: os.chmod(".git", 0o777))
attempt("rename it", lambda: os.rename(".git", "moved"))
attempt("remove the folder", lambda: os.rmdir(".git"))
attempt("remove everything", lambda: shutil.rmtree(".git"))
attempt("remove the file", lambda: os.unlink(".git"))
attempt("put a folder in its place", replace_by_rename)
attempt("put a file in its place", replace_by_file)
attempt("put a link in its place", replace_by_link)
attempt("rename the tree", lambda: os.rename(os.getcwd(), f"{os.getcwd()}-2"))
attempt("rename by descriptor", lambda: os.rename(".git", "moved2", src_dir_fd=os.open(".", os.O_RDONLY)))
attempt("another name for a file in it", lambda: os.link(".git/HEAD", "head"))
json.dump(done, sys.stdout)
